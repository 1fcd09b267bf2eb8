//! Pure address management: carving the cluster range, names and addresses.
