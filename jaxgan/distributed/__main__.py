"""Runs a script in several processes of this machine.

python -m jaxgan.distributed --processes 2 examples/mnist.py --mesh
"""

from jaxgan._internal import launch

if __name__ == "__main__":
    launch.main()
