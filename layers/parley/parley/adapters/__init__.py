"""The world behind the ports: AWS, the models, the machine, and a fake of each for tests."""
