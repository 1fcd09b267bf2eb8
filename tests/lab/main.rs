//! Labs, with the real binary: see [`place`] for what each test gets.

mod fabric;
mod input;
mod lifecycle;
mod place;
