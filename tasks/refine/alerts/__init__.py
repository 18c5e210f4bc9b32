"""What a careful reader of a refined structure would ask about, as alerts A, B and C: our own checkCIF."""
