import Foundation
import Host

/// A folder of its own for one test, removed with the last reference.
final class TemporaryFolder {
    let path: String

    init() {
        path = NSTemporaryDirectory() + "causalgen-\(UUID().uuidString)"
        try! FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file in the folder, with the folders on its way.
    @discardableResult
    func write(_ bytes: some Sequence<UInt8>, to name: String) -> String {
        let url = URL(fileURLWithPath: "\(path)/\(name)")
        try! FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try! Data(bytes).write(to: url)
        return url.path
    }

    @discardableResult
    func write(_ text: String, to name: String) -> String { write(text.utf8, to: name) }

    func read(_ name: String) -> [UInt8] {
        [UInt8](try! Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")))
    }

    var names: [String] { try! FileManager.default.contentsOfDirectory(atPath: path).sorted() }
}

/// The failure that `body` throws; nil where it throws none.
func failure<Value>(of body: () throws(Failure) -> Value) -> Failure? {
    do {
        _ = try body()
        return nil
    } catch {
        return error
    }
}

/// Numbers that look random and are the same in every run (SplitMix64).
struct Noise: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

func littleEndianBytes(_ tokens: [UInt16]) -> [UInt8] {
    tokens.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
}

func hexadecimalBytes(_ text: String) -> [UInt8] {
    let digits = text.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
}
