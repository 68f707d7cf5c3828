//! A pure function from a CIB and a time to a transition graph.
