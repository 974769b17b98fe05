"""The front behind `./run`: standard library only, because it starts before anything is installed."""
