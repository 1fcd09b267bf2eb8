//! podnet's one binary: the command line, and what a lab's processes run.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// The API server makes and drops trees of small pieces on several threads. With glibc's allocator
/// a creation takes half as much processor time again.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Read by jemalloc as the process starts. As many arenas as a server has threads that allocate
/// much; what is not used goes back to the kernel after a second.
// SAFETY: jemalloc declares this symbol as a pointer to a string that ends with a zero, for
// programs to define; there is no other way to configure it before its first allocation.
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: &[u8; 47] = b"narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

fn main() -> ExitCode {
    podnet::cli::main()
}
