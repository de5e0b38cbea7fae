"""What every room uses: labels, clips, answers, the instruction and the errors. No torch, no input or output."""
