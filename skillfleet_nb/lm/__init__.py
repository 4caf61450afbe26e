"""Everything that knows a language model from inside: the meter, prices, the offline model, embeddings."""
