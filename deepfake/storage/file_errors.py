"""The base of errors that are about one file, and that a worker process hands to its parent as they are."""


class FileError(ValueError):
    """A file cannot be used. The only argument is a message that names the file and the reason."""
