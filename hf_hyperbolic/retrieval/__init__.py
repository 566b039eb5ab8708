from .measures import DIRECTIONS as DIRECTIONS
from .measures import MEASURES as MEASURES
from .measures import scores as scores
