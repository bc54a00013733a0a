"""`distq bench`: what a broker and workers can do here, and where the bottleneck is.

It works under an application name of its own, with its own worker host, and takes away all that it has put into the
broker. `app` what runs · `host` the worker host · `measure` the figures · `bottleneck` what they mean.
"""
