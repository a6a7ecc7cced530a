import Host

/// The stack machine of Python's pickle, as far as a dict of strings, integers and such dicts needs
/// it.
struct PickleReader {
    enum Value: Equatable {
        case integer(Int)
        case text(String)
        case dictionary([Entry])
        /// Where a run of items begins.
        case mark
    }

    struct Entry: Equatable {
        let key: Value
        let value: Value
    }

    /// The dict itself, itos and stoi. A dict of dicts of dicts … would be taken apart recursively.
    private static let mostDictionaries = 3
    /// Twice what two dicts of the largest vocabulary need when they are written in one batch.
    private static let deepestStack = 1 << 18

    private let file: MappedFile
    private var position = 0
    private var stack: [Value] = []
    private var dictionaryCount = 0
    /// What was memoized, nil for containers: nothing refers back to those here.
    private var memo: [Value?] = []

    init(_ file: MappedFile) {
        self.file = file
    }

    private var bytes: UnsafeRawBufferPointer { file.bytes }

    /// The entries of the one dictionary that the pickle is.
    ///
    /// - Throws: exit code 65.
    mutating func read() throws(Failure) -> [Entry] {
        while true {  // every turn takes at least one byte of the file
            let opcode = try byte()
            guard opcode != UInt8(ascii: ".") else { break }
            try perform(opcode)
            guard stack.count <= PickleReader.deepestStack else {
                throw failure("it nests too much")
            }
        }
        guard stack.count == 1, case .dictionary(let entries) = stack[0] else {
            throw failure("it is not one dictionary")
        }
        guard position == bytes.count else {
            throw failure("\(bytes.count - position) bytes follow its end")
        }
        return entries
    }

    private mutating func perform(_ opcode: UInt8) throws(Failure) {
        switch opcode {
        case 0x80: _ = try checkedProtocol()
        case 0x95: _ = try integer(bytes: 8)  // FRAME: a hint of the length for buffered readers
        case UInt8(ascii: "}"):
            dictionaryCount += 1
            guard dictionaryCount <= PickleReader.mostDictionaries else {
                throw failure("it has more than \(PickleReader.mostDictionaries) dictionaries")
            }
            stack.append(.dictionary([]))
        case UInt8(ascii: "("): stack.append(.mark)
        case UInt8(ascii: "K"): stack.append(.integer(try integer(bytes: 1)))
        case UInt8(ascii: "M"): stack.append(.integer(try integer(bytes: 2)))
        case UInt8(ascii: "J"):
            stack.append(.integer(Int(Int32(truncatingIfNeeded: try integer(bytes: 4)))))
        case 0x8C: stack.append(.text(try text(lengthBytes: 1)))
        case UInt8(ascii: "X"): stack.append(.text(try text(lengthBytes: 4)))
        case 0x94: memo.append(try memoizable())  // MEMOIZE
        case UInt8(ascii: "q"): try put(try integer(bytes: 1))
        case UInt8(ascii: "r"): try put(try integer(bytes: 4))
        case UInt8(ascii: "h"): stack.append(try recalled(try integer(bytes: 1)))
        case UInt8(ascii: "j"): stack.append(try recalled(try integer(bytes: 4)))
        case UInt8(ascii: "s"):
            guard stack.count >= 3 else { throw failure("an item has no dictionary") }
            try setItems(from: stack.count - 2)
        case UInt8(ascii: "u"):
            guard let mark = stack.lastIndex(of: .mark) else { throw failure("a mark is missing") }
            stack.remove(at: mark)
            try setItems(from: mark)
        default:
            throw failure(
                "opcode 0x\([opcode].hexadecimal) at byte \(position - 1) is for more than "
                    + "strings, numbers and dictionaries")
        }
    }

    /// Moves the keys and values at the top of the stack, from `first` on, into the dict below
    /// them.
    private mutating func setItems(from first: Int) throws(Failure) {
        let items = Array(stack[first...])
        stack.removeSubrange(first...)
        guard items.count.isMultiple(of: 2), !items.contains(.mark),
            case .dictionary(var entries)? = stack.popLast()
        else { throw failure("items without a dictionary, or a key without a value") }
        for i in stride(from: 0, to: items.count, by: 2) {
            entries.append(Entry(key: items[i], value: items[i + 1]))
        }
        stack.append(.dictionary(entries))
    }

    private mutating func checkedProtocol() throws(Failure) -> Int {
        let version = try integer(bytes: 1)
        guard (2...5).contains(version) else {
            throw failure("it is of pickle protocol \(version), and 2 to 5 are read")
        }
        return version
    }

    private func memoizable() throws(Failure) -> Value? {
        guard let top = stack.last, top != .mark else { throw failure("nothing to memoize") }
        if case .dictionary = top { return nil }
        return top
    }

    private mutating func put(_ index: Int) throws(Failure) {
        guard index == memo.count else { throw failure("its memo is not in order") }
        memo.append(try memoizable())
    }

    private func recalled(_ index: Int) throws(Failure) -> Value {
        guard memo.indices.contains(index), let value = memo[index] else {
            throw failure("it refers to entry \(index) of its memo, which is no string or number")
        }
        return value
    }

    private mutating func text(lengthBytes: Int) throws(Failure) -> String {
        let count = try integer(bytes: lengthBytes)
        guard count <= bytes.count - position else { throw failure("it ends inside a string") }
        defer { position += count }
        guard let text = String(validating: bytes[position..<position + count], as: UTF8.self)
        else {
            throw failure("the string at byte \(position) is not UTF-8")
        }
        return text
    }

    private mutating func byte() throws(Failure) -> UInt8 { UInt8(try integer(bytes: 1)) }

    /// A little-endian unsigned integer; of eight bytes the bits.
    private mutating func integer(bytes count: Int) throws(Failure) -> Int {
        guard count <= bytes.count - position else { throw failure("it ends too early") }
        defer { position += count }
        return (0..<count).reduce(0) { $0 | Int(bytes[position + $1]) << (8 * $1) }
    }

    private func failure(_ why: String) -> Failure { .damagedPickle(file.path, why) }
}
