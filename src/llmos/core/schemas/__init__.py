"""The JSON of each noun, as one struct: the server's replies, the output of `llmos … --json`, and the client's results.

One file for each noun. The rooms fill these structs; nothing here knows a database, a server or a command.
"""
