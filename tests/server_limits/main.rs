//! What a client may cost: slow ones, large ones, many of them, and those that do not read.

mod raw;
mod slow;
mod unread;

#[path = "../server_api/lab.rs"]
mod lab;
