//! Labs, with the real binary: see [`place`] for what each test gets.

mod input;
mod lifecycle;
mod place;
