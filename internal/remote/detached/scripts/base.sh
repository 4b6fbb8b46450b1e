# base: sets B to the directory that holds the spools, the one that can be written.
