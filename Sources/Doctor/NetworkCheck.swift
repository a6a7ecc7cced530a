import Glibc
import Host

/// The network interfaces that ranks of several hosts would meet over.
enum NetworkCheck {
    private struct Interface {
        let name: String
        /// With the length of its network's part: `10.0.0.2/24`; nil where it has none.
        let address: String?
        let isUp: Bool
    }

    static func run(_ surroundings: Surroundings) -> [Finding] {
        let what = "network"
        let all = interfaces
        let up = all.filter { $0.isUp && $0.address != nil }
        let down = Set(all.map(\.name)).subtracting(up.map(\.name)).sorted()
        let found =
            (up.isEmpty
                ? "no interface is up"
                : up.map { "\($0.name) \($0.address!)" }.joined(separator: ", "))
            + (down.isEmpty ? "" : "; down or without an address: \(down.joined(separator: ", "))")
        let chosen = ["OMPI_MCA_btl_tcp_if_include", "OMPI_MCA_btl_tcp_if_exclude"].compactMap {
            name in surroundings.environment[name].map { "\(name)=\($0)" }
        }
        if !chosen.isEmpty {
            return [.ok(what, "\(found); \(chosen.joined(separator: ", "))")]
        }
        switch Set(up.map(\.name)).count {
        case 0:
            return [
                .warning(what, found, cure: "this host can train alone, but not with others")
            ]
        case 1: return [.ok(what, found)]
        default:
            return [
                .warning(
                    what, found,
                    cure:
                        "an interface that not all hosts are reached by makes a job on several hosts "
                        + "hang: name the right network, mpirun --mca btl_tcp_if_include "
                        + "\(up[0].address!) --mca oob_tcp_if_include \(up[0].address!)")
            ]
        }
    }

    /// All but the loopback, those with an address of version 4 first.
    private static var interfaces: [Interface] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        var result: [Interface] = []
        var next = first
        while let current = next?.pointee {
            next = current.ifa_next
            let flags = Int(current.ifa_flags)
            guard flags & Int(IFF_LOOPBACK) == 0 else { continue }
            let interface = Interface(
                name: String(cString: current.ifa_name), address: address(current),
                isUp: flags & Int(IFF_UP) != 0)
            // Each has a row without an address too.
            if interface.address != nil || !result.contains(where: { $0.name == interface.name }) {
                result.removeAll { $0.name == interface.name && $0.address == nil }
                result.append(interface)
            }
        }
        return result
    }

    /// The address of version 4.
    private static func address(_ interface: ifaddrs) -> String? {
        guard let address = interface.ifa_addr, address.pointee.sa_family == sa_family_t(AF_INET),
            let mask = interface.ifa_netmask
        else { return nil }
        func number(_ address: UnsafeMutablePointer<sockaddr>) -> UInt32 {
            address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                UInt32(bigEndian: $0.pointee.sin_addr.s_addr)
            }
        }
        let value = number(address)
        let parts = [24, 16, 8, 0].map { String(value >> UInt32($0) & 255) }
        return parts.joined(separator: ".") + "/\(number(mask).nonzeroBitCount)"
    }
}
