"""What the language model gets of a video, kept on disk: whoever asks about it again neither decodes nor encodes it."""
