from .cancelling import TrainingCancelled as TrainingCancelled
from .dataset import Dataset as Dataset
from .dataset import Recording as Recording
from .dataset import check_dataset as check_dataset
from .job import train as train

__all__ = ["Dataset", "Recording", "TrainingCancelled", "check_dataset", "train"]
