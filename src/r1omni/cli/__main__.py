"""`python -m r1omni.cli`, for launchers such as torch.distributed.run."""

from r1omni.cli.app import main

if __name__ == "__main__":
    main()
