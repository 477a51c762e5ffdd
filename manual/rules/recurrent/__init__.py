"""Recurrent layers: (batch, time, features) outside, (time, batch, features) inside."""

from manual.rules.recurrent.gru import gru as gru
from manual.rules.recurrent.lstm import lstm as lstm
from manual.rules.recurrent.rnn import rnn as rnn
