//! DNS messages (RFC 1035, section 4): a question for addresses, and its answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    A = 1,
    Aaaa = 28,
}

const CNAME: u16 = 5;
const INTERNET: u16 = 1;
const HEADER: usize = 12;
/// How often a name may go on at another place: it has no more labels (RFC 1035, section 3.1).
const MAX_JUMPS: usize = 127;
/// How many aliases may lead from the name to its addresses.
const MAX_ALIASES: usize = 16;

/// A name as it stands in a message: labels with their lengths, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(Vec<u8>);

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The addresses, maybe none, and for how many seconds they hold. There is no such name
    /// or no such address of it when there are none.
    Addresses(Vec<IpAddr>, u32),
    /// It does not fit: ask by TCP.
    Truncated,
    /// The server does not answer this (its RCODE).
    Failed(u8),
}

impl Name {
    /// `None` for what is no name of a host.
    pub(super) fn new(name: &str) -> Option<Self> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let mut bytes = Vec::with_capacity(name.len() + 2);
        for label in name.split('.') {
            let is_label = (1..=63).contains(&label.len()) && label.is_ascii();
            if !is_label {
                return None;
            }
            bytes.push(label.len() as u8);
            bytes.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        bytes.push(0);
        (bytes.len() <= 255).then_some(Self(bytes))
    }
}

/// A question by this id.
pub(super) fn question(id: u16, name: &Name, kind: Kind) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + name.0.len() + 4);
    message.extend(id.to_be_bytes());
    // Recursion desired; one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend(&name.0);
    message.extend((kind as u16).to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    message
}

/// What a message says to this question; `None` when it is no answer to it.
pub(super) fn answer(message: &[u8], id: u16, name: &Name, kind: Kind) -> Option<Answer> {
    let mut at = Reader { message, at: 0 };
    let [id_found, flags, questions, answers] = [at.u16()?, at.u16()?, at.u16()?, at.u16()?];
    at.skip(4)?;
    let is_response = flags & 0x8000 != 0;
    if id_found != id || !is_response || questions != 1 {
        return None;
    }
    let is_ours = at.name()? == *name && at.u16()? == kind as u16 && at.u16()? == INTERNET;
    if !is_ours {
        return None;
    }
    if flags & 0x0200 != 0 {
        return Some(Answer::Truncated);
    }
    match flags & 0xf {
        0 => {}
        // No such name.
        3 => return Some(Answer::Addresses(Vec::new(), 0)),
        code => return Some(Answer::Failed(code as u8)),
    }
    let records = (0..answers).map(|_| at.record()).collect::<Option<Vec<_>>>()?;
    Some(follow(&records, name, kind))
}

/// A message as the answer to the question that stands in it.
#[cfg(fuzzing)]
pub(super) fn fuzz(message: &[u8]) {
    let mut at = Reader { message, at: 0 };
    let (Some(id), Some(_)) = (at.u16(), at.skip(HEADER - 2)) else { return };
    let Some(name) = at.name() else { return };
    for kind in [Kind::A, Kind::Aaaa] {
        let _ = answer(message, id, &name, kind);
    }
}

struct Record {
    owner: Name,
    ttl: u32,
    data: Data,
}

enum Data {
    Address(IpAddr),
    Alias(Name),
    Other,
}

/// The addresses that the name leads to.
fn follow(records: &[Record], name: &Name, kind: Kind) -> Answer {
    let mut name = name;
    let mut ttl = u32::MAX;
    for _ in 0..MAX_ALIASES {
        let mut of_name = records.iter().filter(|record| record.owner == *name);
        let addresses: Vec<_> = of_name
            .clone()
            .filter_map(|record| match record.data {
                Data::Address(ip) if ip.is_ipv4() == (kind == Kind::A) => Some((ip, record.ttl)),
                _ => None,
            })
            .collect();
        if !addresses.is_empty() {
            let ttl = addresses.iter().map(|(_, ttl)| *ttl).fold(ttl, u32::min);
            return Answer::Addresses(addresses.into_iter().map(|(ip, _)| ip).collect(), ttl);
        }
        let alias = of_name.find_map(|record| match &record.data {
            Data::Alias(alias) => Some((alias, record.ttl)),
            _ => None,
        });
        let Some((alias, ttl_of_alias)) = alias else { break };
        name = alias;
        ttl = ttl.min(ttl_of_alias);
    }
    Answer::Addresses(Vec::new(), 0)
}

/// Reads a message from one end to the other; `None` when it is too short.
struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    fn bytes(&mut self, count: usize) -> Option<&'m [u8]> {
        let bytes = self.message.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(bytes)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.bytes(count).map(|_| ())
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// A name, which may go on at another place before this one (section 4.1.4).
    fn name(&mut self) -> Option<Name> {
        let mut name = Vec::new();
        let mut at = self.at;
        let mut end = None;
        let mut jumps = 0;
        loop {
            match *self.message.get(at)? {
                0 => {
                    name.push(0);
                    self.at = end.unwrap_or(at + 1);
                    return Some(Name(name));
                }
                length @ 1..=63 => {
                    let label = self.message.get(at..=at + usize::from(length))?;
                    // Lengths are below the letters, and stay as they are.
                    name.extend(label.iter().map(u8::to_ascii_lowercase));
                    at += label.len();
                }
                high @ 0xc0.. => {
                    let low = *self.message.get(at + 1)?;
                    end.get_or_insert(at + 2);
                    let to = usize::from(u16::from_be_bytes([high & 0x3f, low]));
                    jumps += 1;
                    // Backwards alone, so that it comes to an end, and soon.
                    if to >= at || jumps > MAX_JUMPS {
                        return None;
                    }
                    at = to;
                }
                _ => return None,
            }
            if name.len() > 255 {
                return None;
            }
        }
    }

    fn record(&mut self) -> Option<Record> {
        let owner = self.name()?;
        let [kind, class] = [self.u16()?, self.u16()?];
        let ttl = self.array().map(u32::from_be_bytes)?;
        let length = usize::from(self.u16()?);
        let end = self.at.checked_add(length)?;
        let data = match (kind, class, length) {
            (1, INTERNET, 4) => Data::Address(Ipv4Addr::from(self.array::<4>()?).into()),
            (28, INTERNET, 16) => Data::Address(Ipv6Addr::from(self.array::<16>()?).into()),
            (CNAME, INTERNET, _) => Data::Alias(self.name()?),
            _ => Data::Other,
        };
        if end > self.message.len() {
            return None;
        }
        self.at = end;
        // A TTL with its highest bit set is none (RFC 2181, section 8).
        Some(Record { owner, ttl: if ttl > i32::MAX as u32 { 0 } else { ttl }, data })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An answer to a question of this message, with records as they come in.
    pub(in crate::dns) fn test_answer(question: &[u8], rcode: u8, records: &[Vec<u8>]) -> Vec<u8> {
        let mut message = question.to_vec();
        message[2] |= 0x80;
        message[3] = 0x80 | rcode;
        message[7] = records.len() as u8;
        message.extend(records.concat());
        message
    }

    /// A record of the name that is asked for, or of another.
    pub(in crate::dns) fn test_record(
        owner: Option<&str>,
        kind: u16,
        ttl: u32,
        data: &[u8],
    ) -> Vec<u8> {
        let mut record = match owner {
            None => vec![0xc0, HEADER as u8],
            Some(owner) => Name::new(owner).unwrap().0,
        };
        record.extend(kind.to_be_bytes());
        record.extend(INTERNET.to_be_bytes());
        record.extend(ttl.to_be_bytes());
        record.extend((data.len() as u16).to_be_bytes());
        record.extend(data);
        record
    }

    fn read(rcode: u8, records: &[Vec<u8>]) -> Option<Answer> {
        let name = Name::new("Web.example.").unwrap();
        let message = test_answer(&question(7, &name, Kind::A), rcode, records);
        answer(&message, 7, &name, Kind::A)
    }

    #[test]
    fn addresses_hold_as_long_as_the_shortest_on_the_way() {
        let alias = Name::new("other.example").unwrap().0;
        let records = [
            test_record(None, CNAME, 30, &alias),
            test_record(Some("OTHER.example"), 1, 60, &[10, 0, 0, 1]),
            test_record(Some("other.example"), 1, 90, &[10, 0, 0, 2]),
            test_record(Some("another.example"), 1, 5, &[10, 0, 0, 3]),
            test_record(Some("other.example"), 28, 5, &[0; 16]),
        ];
        let expected = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap()).to_vec();
        assert_eq!(read(0, &records), Some(Answer::Addresses(expected, 30)));
        assert_eq!(read(0, &[]), Some(Answer::Addresses(Vec::new(), 0)));
        assert_eq!(read(3, &[]), Some(Answer::Addresses(Vec::new(), 0)));
        assert_eq!(read(2, &[]), Some(Answer::Failed(2)));
    }

    #[test]
    fn what_answers_something_else_is_no_answer() {
        let name = Name::new("web.example").unwrap();
        let other = Name::new("web.test").unwrap();
        let message = test_answer(&question(7, &name, Kind::A), 0, &[]);
        assert!(answer(&message, 7, &name, Kind::A).is_some());
        assert_eq!(answer(&message, 8, &name, Kind::A), None);
        assert_eq!(answer(&message, 7, &other, Kind::A), None);
        assert_eq!(answer(&message, 7, &name, Kind::Aaaa), None);
        assert_eq!(answer(&question(7, &name, Kind::A), 7, &name, Kind::A), None);
        let mut truncated = message;
        truncated[2] |= 2;
        assert_eq!(answer(&truncated, 7, &name, Kind::A), Some(Answer::Truncated));
    }

    #[test]
    fn no_bytes_lead_it_astray() {
        let name = Name::new("a.example").unwrap();
        let alias = [0xc0, 0xff];
        let records = [test_record(None, CNAME, 1, &alias), test_record(None, 1, 1, &[1, 2, 3, 4])];
        let message = test_answer(&question(1, &name, Kind::A), 0, &records);
        assert_eq!(answer(&message, 1, &name, Kind::A), None);
        // Every prefix, and every byte turned around.
        let whole = test_answer(&question(1, &name, Kind::A), 0, &records[1..]);
        for end in 0..whole.len() {
            assert_eq!(answer(&whole[..end], 1, &name, Kind::A), None, "{end} bytes");
        }
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0xff;
            let _ = answer(&broken, 1, &name, Kind::A);
        }
    }

    #[test]
    fn a_name_goes_on_elsewhere_a_few_times() {
        let jumping = |times: usize| {
            let mut message = vec![0];
            for at in 0..times {
                let to = if at == 0 { 0 } else { 1 + 2 * (at - 1) };
                message.extend((0xc000 | to as u16).to_be_bytes());
            }
            let at = message.len().saturating_sub(2);
            Reader { message: &message, at }.name()
        };
        assert_eq!(jumping(0), Some(Name(vec![0])));
        assert_eq!(jumping(MAX_JUMPS), Some(Name(vec![0])));
        assert_eq!(jumping(MAX_JUMPS + 1), None);
    }

    #[test]
    fn names() {
        assert_eq!(Name::new("a.b."), Name::new("A.B"));
        for none in ["", ".", "a..b", &"x".repeat(64), &"a.".repeat(128), "\u{e4}.example"] {
            assert_eq!(Name::new(none), None, "{none:?}");
        }
    }
}
