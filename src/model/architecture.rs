//! What a machine's processors are called.

/// This machine's architecture in the words of Go, which are Kubernetes' and OCI's: `amd64`, `arm64`.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}
