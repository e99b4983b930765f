"""Motion of sequences with any skeleton, and files in the AMASS and SMPL formats."""
