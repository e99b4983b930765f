"""Reading and writing of frames: video files through PyAV, folders of numbered images through OpenCV."""

from closemesh.video.clip import open_clip, read_frames

__all__ = ["open_clip", "read_frames"]
