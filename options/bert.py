"""Options of BERTScore."""

from dataclasses import dataclass

from lamp.models.m2t.bertscore import BertEncoder
from lamp.options.common import CommonOptions


@dataclass(kw_only=True)
class BertOptions(CommonOptions):
    """BERTScore"""

    bert_model: str = "roberta-large"
    """encoder of BERTScore, folder or hub id; "" leaves BERTScore out"""
    bert_layers: int | None = None
    """its layer that is compared; by default that of the bert_score package, the last but one of models it lacks"""
    bert_rescale: bool = True
    """rescale by the package's baseline where it has one for the encoder"""
    bert_idf: bool = True
    """weigh words by how rare they are in the true captions, as the published numbers do"""

    @property
    def encoder(self) -> BertEncoder:
        """The encoder that the flags describe."""
        return BertEncoder(self.bert_model, self.bert_layers, self.bert_rescale, self.bert_idf)
