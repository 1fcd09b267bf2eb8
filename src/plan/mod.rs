//! A plan is data: desired and observed state, their difference, and its order.
