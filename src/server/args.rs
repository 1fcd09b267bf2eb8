//! `podnet server`: the server as a process of its own.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::sockopt::socket_acceptconn;

use super::{Limits, Server, ServerConfig, ServerError, TlsFiles};
use crate::cluster::kubeconfig::write_private;

/// The arguments of `podnet server`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The file that keeps the objects; made if absent
    #[arg(long, value_name = "FILE")]
    pub store: PathBuf,
    /// Directory with ca.crt, server.crt and server.key
    #[arg(long, value_name = "DIR")]
    pub pki: PathBuf,
    /// Address to listen on; may be given several times
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<SocketAddr>,
    /// Inherited listening socket; may be given several times
    #[arg(long, value_name = "FD")]
    pub listen_fd: Vec<RawFd>,
    /// Written once the server serves: its addresses, one a line
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// Directory where each node's agent listens on NODE/kubelet.sock
    #[arg(long, value_name = "DIR")]
    pub nodes_dir: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    #[error("give at least one --listen or --listen-fd")]
    NothingToListenOn,
    #[error("cannot listen on {address}")]
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("descriptor {fd} is no listening socket")]
    Inherited { fd: RawFd, source: io::Error },
    #[error("cannot write {}", path.display())]
    Ready { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// Runs the server as `args` say, until `shutdown`.
pub async fn run(args: Args, shutdown: impl Future<Output = ()>) -> Result<(), ArgsError> {
    let listeners = listeners(&args)?;
    let config = ServerConfig {
        store: args.store,
        tls: TlsFiles {
            ca: args.pki.join("ca.crt"),
            certificate: args.pki.join("server.crt"),
            key: args.pki.join("server.key"),
        },
        listeners,
        nodes_dir: args.nodes_dir,
        limits: Limits::default(),
    };
    let server = Server::start(config).await?;
    if let Some(path) = args.ready_file {
        let addresses: String = server
            .addresses()
            .iter()
            .map(|address| format!("{address}\n"))
            .collect();
        write_private(&path, &addresses).map_err(|source| ArgsError::Ready { path, source })?;
    }
    Ok(server.run(shutdown).await?)
}

fn listeners(args: &Args) -> Result<Vec<TcpListener>, ArgsError> {
    let bound = args.listen.iter().map(|address| {
        TcpListener::bind(address).map_err(|source| ArgsError::Bind {
            address: *address,
            source,
        })
    });
    let inherited = args
        .listen_fd
        .iter()
        .map(|fd| inherit(*fd).map_err(|source| ArgsError::Inherited { fd: *fd, source }));
    let listeners: Vec<TcpListener> = bound.chain(inherited).collect::<Result<_, _>>()?;
    if listeners.is_empty() {
        return Err(ArgsError::NothingToListenOn);
    }
    Ok(listeners)
}

/// Takes over a listening socket that whoever started this process left open for it.
fn inherit(fd: RawFd) -> io::Result<TcpListener> {
    // Standard input, output and error belong to others.
    if fd <= 2 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: a number on the command line is the only form in which a descriptor is inherited. The
    // borrow ends before anything else opens or closes one, and a bad number only fails the call.
    let listening = socket_acceptconn(unsafe { BorrowedFd::borrow_raw(fd) })?;
    if !listening {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: it is an open socket, and `--listen-fd` hands it to us: nobody else here knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(listen: Vec<SocketAddr>, listen_fd: Vec<RawFd>) -> Args {
        Args {
            store: PathBuf::new(),
            pki: PathBuf::new(),
            listen,
            listen_fd,
            ready_file: None,
            nodes_dir: None,
        }
    }

    #[test]
    fn a_port_in_use_and_no_port_at_all_are_said() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = listeners(&args(vec![address], vec![])).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on {address}"));
        assert!(matches!(
            listeners(&args(vec![], vec![])),
            Err(ArgsError::NothingToListenOn)
        ));
    }

    #[test]
    fn an_inherited_listener_is_served() {
        let bound = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = bound.local_addr().unwrap();
        let fd = std::os::fd::IntoRawFd::into_raw_fd(bound);
        let listeners = listeners(&args(vec![], vec![fd])).unwrap();
        assert_eq!(listeners[0].local_addr().unwrap(), address);
    }

    #[test]
    fn only_listening_sockets_are_inherited() {
        for fd in [-1, 0, 9_999] {
            assert!(inherit(fd).is_err(), "{fd}");
        }
        let file = tempfile::tempfile().unwrap();
        assert!(inherit(std::os::fd::AsRawFd::as_raw_fd(&file)).is_err());
    }
}
