"""`python -m admin`: what `./parley` runs."""

from admin.program import app

if __name__ == "__main__":
    app(prog_name="parley")
