import Collectives
import Glibc
import Host

/// The program's words on standard output: rank 0 speaks, in plain lines, each written at once.
package struct Console: Sendable {
    let isSpeaker: Bool

    package init(_ communicator: any Communicator) { isSpeaker = communicator.rank == 0 }

    private init(isSpeaker: Bool) { self.isSpeaker = isSpeaker }

    /// One that says nothing.
    static let silent = Console(isSpeaker: false)

    package func say(_ line: String) {
        if isSpeaker { TextOutput.write(line + "\n", to: STDOUT_FILENO) }
    }

    /// A remark that is no result: on standard error.
    package func warn(_ line: String) { if isSpeaker { Self.remark(line) } }

    package static func remark(_ line: String) {
        TextOutput.write("causalgen: warning: \(line)\n", to: STDERR_FILENO)
    }
}

/// Numbers as the log shows them.
package enum Format {
    /// A number with a fixed number of decimals, independent of the locale.
    package static func fixed(_ value: Double, _ decimals: Int) -> String {
        guard value.isFinite else { return "\(value)" }
        var buffer = [CChar](repeating: 0, count: 400)
        let count = withVaList([Int32(decimals), value]) {
            vsnprintf(&buffer, buffer.count, "%.*f", $0)
        }
        let text = String(
            decoding: buffer.prefix(Int(count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return Mutation.trustLocale.isActive ? text : text.replacing(",", with: ".")
    }

    /// A number in scientific notation with one decimal: 6.2e-04.
    package static func scientific(_ value: Double) -> String {
        guard value.isFinite else { return "\(value)" }
        guard value > 0 else { return "0.0e+00" }
        var exponent = 0
        var mantissa = value
        while mantissa >= 9.95 {
            mantissa /= 10
            exponent += 1
        }
        while mantissa < 0.995 {
            mantissa *= 10
            exponent -= 1
        }
        let digits = String(abs(exponent)).paddedLeft(2).replacing(" ", with: "0")
        return "\(fixed(mantissa, 1))e\(exponent < 0 ? "-" : "+")\(digits)"
    }

    /// A count with k, M or G behind it.
    package static func count(_ value: Double) -> String {
        switch value {
        case ..<1e3: fixed(value, 0)
        case ..<1e6: fixed(value / 1e3, 1) + "k"
        case ..<1e9: fixed(value / 1e6, 1) + "M"
        default: fixed(value / 1e9, 1) + "G"
        }
    }

    /// Bytes in MiB.
    package static func mebibytes(_ bytes: Int) -> String {
        fixed(Double(bytes) / 1_048_576, 1) + " MiB"
    }

    /// Seconds as m:ss or h:mm:ss.
    package static func duration(_ seconds: Double) -> String {
        let total = Int(max(0, seconds.rounded()))
        let two = { (number: Int) in String(number).paddedLeft(2).replacing(" ", with: "0") }
        let (hours, minutes) = (total / 3600, total / 60 % 60)
        return hours > 0
            ? "\(hours):\(two(minutes)):\(two(total % 60))" : "\(minutes):\(two(total % 60))"
    }
}
