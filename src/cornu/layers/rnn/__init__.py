"""Recurrent layers: RNN over any cell, the usual cells and layers, and the wrappers over time."""

from cornu.layers.rnn.base import RNN
from cornu.layers.rnn.cells import GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from cornu.layers.rnn.conv_lstm import ConvLSTM1D, ConvLSTM2D, ConvLSTM3D
from cornu.layers.rnn.recurrent import GRU, LSTM, SimpleRNN
from cornu.layers.rnn.wrappers import Bidirectional, TimeDistributed

__all__ = ["Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "GRU", "GRUCell", "LSTM", "LSTMCell", "RNN",
           "SimpleRNN", "SimpleRNNCell", "StackedRNNCells", "TimeDistributed"]
