"""Versions in OCI registries, as images that KServe's modelcars and Kubernetes' image volumes mount.

place.py        oci:HOST/REPOSITORY:TAG, taken apart
credentials.py  what docker's configuration file says about a registry
client.py       the distribution protocol: manifests and blobs, there and back
layer.py        one file of a model as one layer
image.py        the layers, put together and taken apart
"""
