"""Which skills are alike: an index of a tree of skills, searched by meaning."""
