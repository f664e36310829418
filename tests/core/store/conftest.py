from support.file_server import pin

__all__ = ["pin"]
