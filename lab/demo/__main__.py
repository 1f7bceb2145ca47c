"""Runs the demo: ``python -m lab.demo``."""

from lab.demo.disk import main

if __name__ == "__main__":
    main()
