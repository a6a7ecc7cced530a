/// Turns valid bytes into bytes that are not, or perhaps still are: the same ones for the same seed.
struct Mutation {
    /// SplitMix64.
    private struct Noise: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    private var noise: Noise
    /// What may take the place of other bytes: words that mean something in the format.
    private let words: [[UInt8]]

    private static let extremes: [UInt64] = [
        0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF,
        0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF,
    ]
    /// More would hide in noise what a single change does.
    private static let mostChanges = 4
    private static let mostBytes = 1 << 20

    init(seed: UInt64, words: [String]) {
        noise = Noise(state: seed)
        self.words = words.map { Array($0.utf8) }
    }

    mutating func apply(to bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...Self.mostChanges, using: &noise) where !bytes.isEmpty {
            change(&bytes)
        }
        return Array(bytes.prefix(Self.mostBytes))
    }

    private mutating func change(_ bytes: inout [UInt8]) {
        let position = Int.random(in: bytes.indices, using: &noise)
        let count = min(Int.random(in: 1...64, using: &noise), bytes.count - position)
        let range = position..<position + count
        switch Int.random(in: 0..<9, using: &noise) {
        case 0: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &noise)
        case 1: bytes.removeSubrange(position...)
        case 2: bytes.removeSubrange(range)
        case 3:
            // The same again, and again.
            let copies = 1 << Int.random(in: 0...8, using: &noise)
            bytes.insert(
                contentsOf: (0..<copies).flatMap { _ in bytes[range] }, at: range.upperBound)
        case 4:
            // A piece of another place.
            let source = Int.random(in: 0...bytes.count - count, using: &noise)
            bytes.replaceSubrange(range, with: Array(bytes[source..<source + count]))
        case 5: grow(&bytes, at: position)
        case 6:
            for index in range { bytes[index] = UInt8.random(in: 0...255, using: &noise) }
        case 7: renumber(&bytes, from: position)
        default:
            guard let word = words.randomElement(using: &noise) else { return }
            let replaced = position..<min(bytes.count, position + word.count)
            bytes.replaceSubrange(replaced, with: word)
        }
    }

    /// Puts another number in the place of the next one that is written in decimal digits.
    private mutating func renumber(_ bytes: inout [UInt8], from position: Int) {
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        guard let first = bytes[position...].firstIndex(where: digits.contains) else { return }
        let end = bytes[first...].firstIndex { !digits.contains($0) } ?? bytes.endIndex
        let exponent = Int.random(in: 0...20, using: &noise)
        let number =
            "\(Int.random(in: 1...9, using: &noise))" + String(repeating: "0", count: exponent)
        bytes.replaceSubrange(first..<end, with: number.utf8)
    }

    /// Changes a little-endian number, such as a length or an address: to an extreme, or by a little.
    private mutating func grow(_ bytes: inout [UInt8], at position: Int) {
        let width = 1 << Int.random(in: 0...3, using: &noise)
        let start = position / width * width
        guard start + width <= bytes.count else { return }
        var value = (0..<width).reduce(0 as UInt64) { $0 | UInt64(bytes[start + $1]) << (8 * $1) }
        switch Int.random(in: 0..<3, using: &noise) {
        case 0: value = Self.extremes.randomElement(using: &noise)!
        case 1: value &+= UInt64(bitPattern: Int64.random(in: -16...16, using: &noise))
        default: value = value &* 2 &+ 1
        }
        for index in 0..<width {
            bytes[start + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
        }
    }
}
