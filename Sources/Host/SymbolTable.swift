import CHost
import Glibc

/// The functions of the program's own file, by their addresses in it: what `dladdr` does not see, for an
/// executable exports no names. A stripped file has none.
struct SymbolTable {
    private struct Function {
        let address: Int
        let bytes: Int
        /// Where its name is, in bytes of the file.
        let name: Int
    }

    /// Sorted by address.
    private var functions: [Function] = []
    /// Whether addresses are counted from where the file lies in memory.
    let isRelocatable: Bool
    private let image: Image

    private static let sectionOfSymbols: UInt32 = 2
    private static let typeOfFunctions: UInt8 = 2
    private static let symbolBytes = 24
    private static let typeOfSharedObjects: UInt16 = 3

    /// Reads the symbols of a 64-bit ELF file; one that is no such file has no functions.
    init(_ path: String) {
        let file = try? MappedFile(path)
        image = Image(file: file)
        isRelocatable = image.word(0x10, of: UInt16.self) == Self.typeOfSharedObjects
        // 0x7f, "ELF"
        guard image.word(0, of: UInt32.self) == 0x464c_457f else { return }
        let sections = Int(image.word(0x28, of: UInt64.self))
        let size = Int(image.word(0x3a, of: UInt16.self))
        for section in 0..<Int(image.word(0x3c, of: UInt16.self)) {
            let header = sections + section * size
            guard image.word(header + 4, of: UInt32.self) == Self.sectionOfSymbols else { continue }
            let link = sections + Int(image.word(header + 0x28, of: UInt32.self)) * size
            let names = Int(image.word(link + 0x18, of: UInt64.self))
            let start = Int(image.word(header + 0x18, of: UInt64.self))
            let bytes = Int(image.word(header + 0x20, of: UInt64.self))
            for symbol in stride(from: start, to: start + bytes, by: Self.symbolBytes)
            where image.word(symbol + 4, of: UInt8.self) & 0xf == Self.typeOfFunctions {
                functions.append(
                    Function(
                        address: Int(image.word(symbol + 8, of: UInt64.self)),
                        bytes: Int(image.word(symbol + 16, of: UInt64.self)),
                        name: names + Int(image.word(symbol, of: UInt32.self))))
            }
        }
        functions.sort { $0.address < $1.address }
    }

    /// The function that has an address of the file, and how far into it; nil where none is known.
    func function(at address: Int) -> (name: String, offset: Int)? {
        var (low, high) = (0, functions.count)
        while low < high {
            let middle = (low + high) / 2
            if functions[middle].address <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return nil }
        let function = functions[low - 1]
        guard address < function.address + max(1, function.bytes) else { return nil }
        return (Self.plainName(image.text(function.name)), address - function.address)
    }

    /// A symbol as its programmer wrote it, where it is one of Swift's.
    static func plainName(_ symbol: String) -> String {
        guard let name = swift_demangle(symbol, symbol.utf8.count, nil, nil, 0) else {
            return symbol
        }
        defer { free(name) }
        return String(cString: name)
    }

    /// The bytes of a file; beyond its end are zeros.
    private struct Image {
        let file: MappedFile?

        func word<Word: FixedWidthInteger & BitwiseCopyable>(
            _ offset: Int, of type: Word.Type
        ) -> Word {
            guard let bytes = file?.bytes, offset >= 0,
                offset <= bytes.count - MemoryLayout<Word>.size
            else { return 0 }
            return bytes.loadUnaligned(fromByteOffset: offset, as: type)
        }

        func text(_ offset: Int) -> String {
            var characters: [UInt8] = []
            var offset = offset
            while case let byte = word(offset, of: UInt8.self), byte != 0 {
                characters.append(byte)
                offset += 1
            }
            return String(decoding: characters, as: UTF8.self)
        }
    }
}
