"""Mutation testing of the compiler: plants faults in a copy of it, one at a time, and tells which no test finds.

mutmut and cosmic-ray do not fit: the one puts a trampoline around every function, which numba cannot compile; the
other mutates the work tree itself, and neither draws a sample by a seed, nor knows that numba keeps compiled code.
"""
