"""What makes the networks of `lamp.models` faster. They are complete without it; nothing here is part of the method.

`speed_up(model)` gives the parts of a network fast classes in place of the plain ones. Results are the same up to
rounding; parameters, names, state dict and files stay as they are. It is called where models are loaded
(`from_pretrained`), by the pipelines and by the training scripts.

To turn all of it off, set the environment variable `LAMP_FAST=0`, or make and load models inside `with disabled():`.

| file | what it speeds up | where |
| --- | --- | --- |
| `linear` | oneDNN's products; packed weights where they do not change | CPU |
| `int8`, `calibration` | products of 8-bit integers, where asked for (`--precision int8`): not the same results | CPU |
| `dropout` | dropout from fewer random bits; training then draws other numbers than the plain network | CPU |
| `convolution` | the tokenizer: channels-last kernels, fewer products | everywhere |
| `transformer` | GELU within the product; no hidden states of padding, nor of words that there are not | CPU |
| `causal_states` | hidden states kept from step to step of generation | CPU |
| `pretraining` | LaMP's captioning loss: the vocabulary's head only where a word follows | CPU |
| `gpt_steps` | captions by GPT-2, token by token, without the library's overhead | everywhere |
| `loading` | no random weights where those of a file replace them | everywhere |
"""

from lamp.models.fast.calibration import set_precision
from lamp.models.fast.speed import disabled, speed_up, without_draws

__all__ = ["disabled", "set_precision", "speed_up", "without_draws"]
