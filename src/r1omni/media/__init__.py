"""Files to arrays and back: decoding and sampling of clips, and writing of small videos. Array names carry units."""
