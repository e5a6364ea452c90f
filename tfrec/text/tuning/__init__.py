"""The encoder of the texts trained together with the recommender that reads them."""
