"""A Keras model as a graph of layers that can be edited, and the way back.

`read_graph` copies a model (classes, configurations, weights), `build_model` makes a new one of the same kind; in
between, transforms change configurations and weights, exchange neighbours and take layers out.  The model that was
read is never touched.
"""

from cnn2snn_ir.keras.graph.building import build_model, connect
from cnn2snn_ir.keras.graph.graph import Array, Content, Graph, Node, exchange
from cnn2snn_ir.keras.graph.reading import read_graph

__all__ = ["Array", "Content", "Graph", "Node", "build_model", "connect", "exchange", "read_graph"]
