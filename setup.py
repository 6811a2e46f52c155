"""Which packages are installed. All else stands in pyproject.toml.

The folders of the repository keep their names (`export`, `functions`); an installation has packages that carry the
project's.
"""

from setuptools import find_namespace_packages, find_packages, setup

FOLDERS = {"hearth": "layers/runtime/python/hearth", "hearth_build": "export", "hearth_functions": "functions"}


def packages(name: str, folder: str) -> list[str]:
    # A function's folder is the root of what Lambda gets, so it is no package of its own there.
    find = find_namespace_packages if name == "hearth_functions" else find_packages
    return [name, *(f"{name}.{package}" for package in find(folder))]


setup(
    package_dir=FOLDERS,
    packages=[package for name, folder in FOLDERS.items() for package in packages(name, folder)],
)
