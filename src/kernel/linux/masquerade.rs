//! Source NAT for what leaves a pod range, in nftables.
//!
//! One chain and one rule per network and range, however many pods it has, in
//! tables of our own name. Chain and rule are made by one transaction, so a chain
//! that is there is complete, and making it twice is refused as a whole.

use std::net::IpAddr;
use std::os::fd::AsRawFd;

use ipnetwork::IpNetwork;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::nftables::{
    Bitwise, ChainAttribute, ChainMessage, Cmp, DataAttribute, Expressions, Hook, HookNumber,
    InetHookNumber, NfTablesMessage, Operator, Payload, Register, RuleAttribute, RuleMessage,
    TableAttribute, TableMessage,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use crate::kernel::{KernelError, Refusal};
use crate::model::Family;

use super::fault;

/// Of each family.
pub const TABLE: &str = "podnet";
/// `NFNL_SUBSYS_NFTABLES` (linux/netfilter/nfnetlink.h).
const NFTABLES: u16 = 10;
/// `NF_IP_PRI_NAT_SRC` (linux/netfilter_ipv4.h).
const SOURCE_NAT: u32 = 100;
/// `NFT_PAYLOAD_NETWORK_HEADER` (linux/netfilter/nf_tables.h).
const NETWORK_HEADER: u32 = 1;
const RECEIVE_BYTES: usize = 8 * 1024;

/// What leaves `range` for any other destination but multicast has the node's
/// address from here on. Idempotent.
pub fn masquerade(network: &str, range: IpNetwork) -> Result<(), KernelError> {
    let mut connection = Connection::open()?;
    let chain = chain_name(network, range);
    if connection.has_chain(range, &chain)? {
        return Ok(());
    }
    let step = format!("masquerade what leaves {range}");
    match connection.transact(range, chain_and_rule(range, &chain), step) {
        // Another process was faster.
        Err(error) if error.refusal() == Refusal::Exists => Ok(()),
        done => done,
    }
}

/// Whether that is so, as the kernel has it.
pub fn is_masqueraded(network: &str, range: IpNetwork) -> Result<bool, KernelError> {
    Connection::open()?.has_chain(range, &chain_name(network, range))
}

/// What leaves `range` keeps its address from here on. Idempotent.
pub fn end_masquerade(network: &str, range: IpNetwork) -> Result<(), KernelError> {
    let chain = chain_name(network, range);
    // Its rule goes with it (nf_tables_delchain in net/netfilter/nf_tables_api.c).
    let delete = NfTablesMessage::DeleteChain(ChainMessage {
        attributes: vec![
            ChainAttribute::Table(TABLE.to_owned()),
            ChainAttribute::Name(chain),
        ],
    });
    let step = format!("end the masquerade of what leaves {range}");
    match Connection::open()?.transact(range, vec![(delete, 0)], step) {
        Err(error) if error.refusal() == Refusal::NoEntry => Ok(()),
        done => done,
    }
}

/// `masquerade-podnet-10.244.0.0-16`: of the letters that `nft` takes in a name.
fn chain_name(network: &str, range: IpNetwork) -> String {
    let range = range.to_string().replace('/', "-").replace(':', "_");
    format!("masquerade-{network}-{range}")
}

fn chain_and_rule(range: IpNetwork, chain: &str) -> Vec<(NfTablesMessage, u16)> {
    let table = NfTablesMessage::NewTable(TableMessage {
        attributes: vec![TableAttribute::Name(TABLE.to_owned())],
    });
    let hooked = NfTablesMessage::NewChain(ChainMessage {
        attributes: vec![
            ChainAttribute::Table(TABLE.to_owned()),
            ChainAttribute::Name(chain.to_owned()),
            ChainAttribute::Hook(vec![
                Hook::Number(HookNumber::Inet(InetHookNumber::PostRouting)),
                Hook::Priority(SOURCE_NAT),
            ]),
            ChainAttribute::Type("nat".to_owned()),
        ],
    });
    let rule = NfTablesMessage::NewRule(RuleMessage {
        attributes: vec![
            RuleAttribute::Table(TABLE.to_owned()),
            RuleAttribute::Chain(chain.to_owned()),
            RuleAttribute::Expressions(expressions(range).into_iter().map(Into::into).collect()),
        ],
    });
    vec![
        (table, NLM_F_CREATE),
        (hooked, NLM_F_CREATE | NLM_F_EXCL),
        (rule, NLM_F_CREATE),
    ]
}

/// Source in the range, destination neither in it nor multicast: masquerade.
fn expressions(range: IpNetwork) -> Vec<Expressions> {
    // Where addresses stand in a header (RFC 791 §3.1, RFC 8200 §3), and RFC 5771
    // and RFC 4291 §2.7 of multicast.
    let (source, destination, multicast, multicast_mask) = match range {
        IpNetwork::V4(_) => (12, 16, vec![0xe0, 0, 0, 0], vec![0xf0, 0, 0, 0]),
        IpNetwork::V6(_) => {
            let first = |byte| [vec![byte], vec![0; 15]].concat();
            (8, 24, first(0xff), first(0xff))
        }
    };
    let (network, mask) = (bytes(range.network()), bytes(range.mask()));
    [
        compare(source, &mask, Operator::Equal, &network),
        compare(destination, &mask, Operator::NotEqual, &network),
        compare(destination, &multicast_mask, Operator::NotEqual, &multicast),
        vec![Expressions::Other {
            expression_type: "masq".to_owned(),
            attributes: Vec::new(),
        }],
    ]
    .concat()
}

fn bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The address at `offset` under `mask`, compared with `value`.
fn compare(offset: u32, mask: &[u8], operator: Operator, value: &[u8]) -> Vec<Expressions> {
    let register = Register::Reg1;
    let length = value.len() as u32;
    vec![
        Expressions::Payload(vec![
            Payload::DestinationRegister(register),
            Payload::Base(NETWORK_HEADER),
            Payload::Offset(offset),
            Payload::Len(length),
        ]),
        Expressions::Bitwise(vec![
            Bitwise::SourceRegister(register),
            Bitwise::DestinationRegister(register),
            Bitwise::Length(length),
            Bitwise::Mask(DataAttribute::Value(mask.to_vec())),
            Bitwise::Xor(DataAttribute::Value(vec![0; mask.len()])),
        ]),
        Expressions::Cmp(vec![
            Cmp::SourceRegister(register),
            Cmp::Op(operator),
            Cmp::Data(DataAttribute::Value(value.to_vec())),
        ]),
    ]
}

struct Connection {
    socket: Socket,
    sequence: u32,
}

impl Connection {
    fn open() -> Result<Connection, KernelError> {
        let fail = |error: std::io::Error| KernelError::io("open a netfilter socket", &error);
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(fail)?;
        socket.bind_auto().map_err(fail)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(fail)?;
        Ok(Connection {
            socket,
            sequence: 0,
        })
    }

    fn has_chain(&mut self, range: IpNetwork, chain: &str) -> Result<bool, KernelError> {
        let ask = NfTablesMessage::GetChain(ChainMessage {
            attributes: vec![
                ChainAttribute::Table(TABLE.to_owned()),
                ChainAttribute::Name(chain.to_owned()),
            ],
        });
        let mut out = Vec::new();
        self.append(&mut out, (protocol(range), 0), ask.into(), NLM_F_ACK);
        match self.exchange(&out, 1, format!("find chain {chain}")) {
            Ok(()) => Ok(true),
            Err(error) if error.refusal() == Refusal::NoEntry => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All of it or nothing (nfnetlink_rcv_batch in net/netfilter/nfnetlink.c).
    fn transact(
        &mut self,
        range: IpNetwork,
        messages: Vec<(NfTablesMessage, u16)>,
        step: String,
    ) -> Result<(), KernelError> {
        let count = messages.len();
        let batch = (NetfilterProtoFamily::Unspec, NFTABLES);
        let mut out = Vec::new();
        self.append(&mut out, batch, ControlMessage::BatchBegin.into(), 0);
        for (message, flags) in messages {
            let header = (protocol(range), 0);
            self.append(&mut out, header, message.into(), flags | NLM_F_ACK);
        }
        self.append(&mut out, batch, ControlMessage::BatchEnd.into(), 0);
        self.exchange(&out, count, step)
    }

    fn append(
        &mut self,
        out: &mut Vec<u8>,
        (family, resource): (NetfilterProtoFamily, u16),
        message: NetfilterMessageInner,
        flags: u16,
    ) {
        self.sequence += 1;
        let header = NetfilterHeader::new(family, 0, resource);
        let mut packet = NetlinkMessage::from(NetfilterMessage::new(header, message));
        packet.header.flags = flags | NLM_F_REQUEST;
        packet.header.sequence_number = self.sequence;
        packet.finalize();
        let start = out.len();
        out.resize(start + packet.buffer_len().next_multiple_of(4), 0);
        packet.serialize(&mut out[start..]);
    }

    /// Wait for `answers` acknowledgements, or the first refusal.
    fn exchange(&self, out: &[u8], answers: usize, step: String) -> Result<(), KernelError> {
        let fail = |error: std::io::Error| KernelError::io(step.clone(), &error);
        self.socket.send(out, 0).map_err(fail)?;
        fault::sent();
        let mut outstanding = answers;
        let mut buffer = vec![0; RECEIVE_BYTES];
        while outstanding > 0 {
            let received = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(KernelError::new(step, errno)),
                Ok(received) => received,
            };
            let mut rest = &buffer[..received];
            while let Ok(packet) = NetlinkMessage::<NetfilterMessage>::deserialize(rest) {
                if let NetlinkPayload::Error(answer) = &packet.payload {
                    if let Some(code) = answer.code {
                        return Err(KernelError::new(step, Errno::from_raw(-code.get())));
                    }
                    outstanding = outstanding.saturating_sub(1);
                }
                let length = (packet.header.length as usize).next_multiple_of(4);
                rest = rest.get(length.max(16)..).unwrap_or_default();
            }
        }
        Ok(())
    }
}

fn protocol(range: IpNetwork) -> NetfilterProtoFamily {
    match Family::of(range.ip()) {
        Family::V4 => NetfilterProtoFamily::IPv4,
        Family::V6 => NetfilterProtoFamily::IPv6,
    }
}
