"""What can be measured in a clip: voice, speech, subtitles, transcript and face, with units and spans."""
