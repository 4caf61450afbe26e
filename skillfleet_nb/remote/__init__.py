"""A fleet that is elsewhere: the methods of ``Fleet``, answered by a server over HTTP."""
