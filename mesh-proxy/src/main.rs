//! The data plane's program.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(unsafe_code, reason = "the crate mimalloc has no safe function for it")]
unsafe extern "C" {
    /// mimalloc's: frees what the calling thread keeps for later.
    safe fn mi_collect(force: bool);
}

fn main() -> std::process::ExitCode {
    mesh_proxy::cli::main(|| mi_collect(true))
}
