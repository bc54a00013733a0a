"""Applications to read, run and copy from. They are no part of the package `distq`."""
