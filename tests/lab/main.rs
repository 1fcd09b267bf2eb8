//! Labs, with the real binary: see [`place`] for what each test gets.

mod crashes;
mod fabric;
mod input;
mod lifecycle;
mod observe;
mod place;
mod streams;
