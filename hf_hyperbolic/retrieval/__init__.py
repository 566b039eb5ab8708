from hf_hyperbolic.retrieval.measures import DIRECTIONS as DIRECTIONS
from hf_hyperbolic.retrieval.measures import MEASURES as MEASURES
from hf_hyperbolic.retrieval.measures import scores as scores
from hf_hyperbolic.retrieval.search import SearchResult as SearchResult
from hf_hyperbolic.retrieval.search import search as search
from hf_hyperbolic.retrieval.sharded import search_sharded as search_sharded
