"""What the codes of diagnostics mean, but for legality rules, which explain themselves.

A test compares the table with the codes that the sources use.
"""

from __future__ import annotations

from typing import NamedTuple

from cnn2snn_ir.ir.verify import CODES


class Meaning(NamedTuple):
    """What a code says, and what to do about it."""

    sentence: str
    help: str


BROKEN_IR = "only IR written or edited by hand can break this; from a compiler pass it is a bug, please report it"
BROKEN_TEXT = "correct the text where the caret points; docs/text_form.md describes the form"
BROKEN_PROGRAM = "the file is damaged or was made by something else; convert the model again"
BROKEN_MODEL = "save or copy the model file again"
COMPILER_BUG = "a bug of the compiler: please report it with the reproducer that was written"

CHECKS = {
    "COPIES": Meaning("layers of Akida 1 have 1 to 16 neurons for a channel, those of others 1", "ask for fewer"),
    "TARGET": Meaning("the Akida generation is unknown", "target v1 or v2"),
    "DEVICE": Meaning("there is no such device", "`cnn2snn devices` lists them; a file of one's own ends in .toml"),
    "DEVICE-GENERATION": Meaning("the program is for chips of another generation", "convert with --target v1 or v2"),
    "DEVICE-TOML": Meaning("a device file is not TOML", "correct the line that the message names"),
    "DEVICE-CIRCLE": Meaning("device files extend each other in a circle", "let one of them stand on its own"),
    "DEVICE-MISSING": Meaning(
        "a device file lacks a constant", 'add it, or `extends = "AKD1500"` for all that is alike'
    ),
    "DEVICE-UNKNOWN": Meaning("a device file has a constant that devices do not have", "correct its name"),
    "DEVICE-VALUE": Meaning(
        "a constant of a device file cannot be used",
        'constants are `{ value = 1.5, source = "my board", confidence = "measured" }`',
    ),
    "MAP-FIT": Meaning(
        "a layer is too large for the neural processors of a device, however it is divided",
        "a device with more NPs, or a smaller layer; without hw_only the host computes it",
    ),
    "MAP-PASSES": Meaning(
        "a program needs more neural processors than a device has, which cannot take new weights in between",
        "a device with passes, or with more NPs; without hw_only the host computes the rest",
    ),
    "MAP-MODE": Meaning("a device cannot be used in this way", "use minimal, all-nps or hw-pr"),
    "MAP-LEVEL": Meaning("there are no hardware layers to place", "convert the model first"),
    "RUN-NOT-MAPPED": Meaning("statistics need a device", 'call model.map("AKD1500") first'),
    "RUN-DENSITY": Meaning("densities that cannot be", "give one number from 0 to 1, or one for each layer"),
    "RUN-NO-SAMPLES": Meaning("a simulation needs events to count", "give samples, or a density to assume"),
    "TAIL-FLOAT": Meaning(
        "a float layer with weights stands behind the last integer, so the host would compute it",
        "quantize the layer, or consent with --allow-float-tail",
    ),
    "TAIL-HOST": Meaning("the host computes these layers in float (a remark)", "nothing needs to be done"),
    "LEGALIZED": Meaning(
        "the compiler rewrote a layer that the target does not have, exactly (a remark)",
        "nothing needs to be done; --no-legalize refuses instead",
    ),
    "INPUT-SCALING": Meaning(
        "the scale and shift of the input make no sense, or come twice, or are for another kind of model",
        "scale the input of a legacy model with one Rescaling layer",
    ),
    "LEG-RANGE": Meaning(
        "the sums of a layer do not fit the accumulator of Akida 1", "use fewer inputs, fewer bits, or a smaller bias"
    ),
    "QUANTIZED-01": Meaning(
        "a layer of a model quantized on the fly cannot become integers, and others need its integers",
        "quantize what it reads with one scale and one zero point, and its weights symmetrically",
    ),
    "AK2-GRID-01": Meaning(
        "no layer of Akida 2 gives integers on the grid that the model wants",
        "quantize activations symmetrically to 8 bits, or convert in the mode bounded",
    ),
    "AK2-GRID-02": Meaning(
        "the chip does not have the grid of a quantized value; a coarser one takes its place (an error in exact mode)",
        "quantize symmetrically, with steps a power of two apart around additions; or accept it",
    ),
    "AK2-SCALE-01": Meaning(
        "8 bits of scale and 8 of bias do not put every sum on the integer of the model (an error in exact mode)",
        "nothing: `off_by` in the IR bounds it, and `cnn2snn compare` measures it on samples",
    ),
    "AK2-WEIGHT-01": Meaning(
        "weights with a zero point have more than 8 bits, and are rounded to 8 (an error in exact mode)",
        "quantize weights symmetrically",
    ),
    "AK1-LEVEL-01": Meaning(
        "some potentials reach a neighbouring level, because two registers cannot put every level right (a remark)",
        "nothing; typical samples (--samples) have the common ones right, copies of neurons (--copies) more or all",
    ),
    "AK1-STEP-01": Meaning(
        "levels lie further apart than a register holds, so they were moved together and weights divided (a warning)",
        "use fewer input channels in front of an average, or target Akida 2",
    ),
    "AK1-BOUND-01": Meaning(
        "the ReLU of some channels is bounded below the last level, and Akida 1 goes on to the last (a warning)",
        "calibrate again, so that the output quantizer's range is the ReLU's",
    ),
    "AK1-ACC-02": Meaning(
        "a convolution in front of an average may saturate, and the layer saturates the sum only",
        "use fewer input channels, or fewer bits",
    ),
    "RANGE-SATURATION": Meaning(
        "the proven range of an accumulator exceeds its type, so it may saturate (a remark)",
        "nothing: the program saturates exactly where the model does",
    ),
}

FILES = {
    "FILE-MISSING": Meaning("there is no such file or folder", "check the path"),
    "FILE-ACCESS": Meaning("a file cannot be read or written", "check permissions and free space"),
    "FILE-DIRECTORY": Meaning("a file was expected, and this is a folder", "name the file in it"),
    "FILE-UNREADABLE": Meaning("the operating system does not let us read the file", "check its permissions"),
    "FILE-EMPTY": Meaning("the file is empty", BROKEN_MODEL),
    "FILE-FORMAT": Meaning("the file is none that is asked for", "save the model as .h5, .keras or .onnx"),
    "FILE-DAMAGED": Meaning("the model file ends early or contradicts itself", BROKEN_MODEL),
    "FILE-TFLITE": Meaning(
        "the file is one of TensorFlow Lite", "give the Keras model it was made from, or convert it with tf2onnx"
    ),
    "FILE-SAME": Meaning("the output would overwrite the input", "choose another output"),
    "FILE-TEXT": Meaning("a text file is not UTF-8", "save it as UTF-8"),
    "DUMP-FOLDER": Meaning("the folder for dumps holds other files", "choose an empty folder"),
    "MODEL-FLOAT": Meaning("the model is not quantized", "quantize it: cnn2snn quantize-float"),
    "MODEL-QUANTIZED": Meaning("a float model is needed, and this one is quantized", "convert it as it is"),
    "ONNX-MODE": Meaning("the mode is neither exact nor bounded", "choose one of them"),
    "QUANTIZE-SCHEME": Meaning("there is no such quantization scheme", "choose 8/8/8, 8/4/8, 8/4/4 or akida1"),
    "QUANTIZE-INPUT": Meaning("a program does not read this type", "choose uint8, int8 or float32"),
    "QUANTIZE-SAMPLES": Meaning("the samples are not those of the model's input", "give samples of its shape"),
    "QUANTIZE-SHAPE": Meaning("the text is no shape", "write it as 3,224,224"),
    "QUANTIZE-RANDOM": Meaning("ranges come from random samples (a warning)", "give typical inputs: --samples"),
    "QUANTIZE-RANGE": Meaning("the range of a value is not known", "run the pass calibrate first"),
    "MODEL-TYPE": Meaning("convert() was given neither a path nor a Keras model", "give it one of them"),
    "SAMPLES-FORMAT": Meaning("the file of samples holds none", "write x (and labels y) with numpy.savez"),
    "SAMPLES-STREAMS": Meaning(
        "a model that remembers takes samples as [steps, streams, …]", "save x[:, None] if all samples are one stream"
    ),
    "SAMPLES-IMAGES": Meaning(
        "an image cannot be read, or has another size than the model's input", "install pillow; scale images beforehand"
    ),
    "SAMPLES-EMPTY": Meaning("a batch of typical inputs has none", "give some samples, or leave the option out"),
    "SAMPLES-LABELS": Meaning("samples and labels differ in number", "give one label for each sample"),
}

MODELS = {
    "KERAS-FLOAT": Meaning("the model is not quantized", "quantize it: cnn2snn quantize-float"),
    "KERAS-QUANTIZED": Meaning("the model is quantized, and a float model is needed", "convert it as it is"),
    "KERAS-SHARED": Meaning("the model calls one layer more than once", "give every call a layer of its own"),
    "KERAS-MIXED": Meaning(
        "the model has layers of QuantizeML and of the legacy API", "quantize the whole float model with QuantizeML"
    ),
    "KERAS-BRANCH": Meaning(
        "a layer does not read as many values as it takes; legacy models are one straight line of layers",
        "quantize a model with branches as a float model, or with QuantizeML",
    ),
    "KERAS-LAYER": Meaning("a layer, or one of its settings, is not supported", "see docs/supported_ops.md"),
    "KERAS-FLOAT-LAYER": Meaning(
        "a float layer that the host does not compute", "quantize it, or end the model before it"
    ),
    "KERAS-CONFIG": Meaning("the configuration of a layer cannot be read", BROKEN_MODEL),
    "KERAS-VARIABLE": Meaning("a layer lacks a variable, or it is no array", BROKEN_MODEL),
    "KERAS-RANGE": Meaning("a constant of the layer does not fit its type", "calibrate or train the model again"),
    "KERAS-NAN": Meaning("a variable holds infinities or NaNs", "train or quantize the model again"),
    "KERAS-NO-CONFIG": Meaning("the file holds weights without a model", "save the whole model with model.save()"),
    "KERAS-ENDS": Meaning("a model has one input and one output", "split the model"),
    "KERAS-NAMES": Meaning("layers must have names of their own", "rename the layers and save again"),
    "KERAS-ORDER": Meaning("a layer reads one that does not come before it", BROKEN_MODEL),
    "KERAS-FILTER": Meaning(
        "a variable is compressed, so that its size cannot be told before it is unpacked",
        "save the model again with model.save(), which does not compress",
    ),
    "KERAS-LINK": Meaning("the file points to another file; such links are not followed", "copy the data into it"),
}

ONNX = {
    "ONNX-PACKAGE": Meaning("reading ONNX needs the onnx package", "pip install onnx"),
    "ONNX-SIZE": Meaning("the file is larger than an ONNX file can be", "keep weights in files beside the model"),
    "ONNX-VERSION": Meaning("the version of the format is unknown here, or not given", "export for an older version"),
    "ONNX-OPSET": Meaning(
        "the version of the standard operators is unknown here, or not given", "export with another opset_version"
    ),
    "ONNX-EMPTY": Meaning("the graph has no node or no output, or a node has none", BROKEN_MODEL),
    "ONNX-DOMAIN": Meaning("an operator belongs to a domain that the file does not declare", "export the model again"),
    "ONNX-NAMES": Meaning("two values, functions or attributes have one name", "give each its own name"),
    "ONNX-VALUE": Meaning("a node or an output needs a value that nothing makes", BROKEN_MODEL),
    "ONNX-ORDER": Meaning("nodes are not in the order of their values, or form a cycle", "export the model again"),
    "ONNX-TENSOR": Meaning("a tensor is not what its type and shape say", BROKEN_MODEL),
    "ONNX-NAN": Meaning("weights or scales hold infinities or NaNs", "train or quantize the model again"),
    "ONNX-EXTERNAL": Meaning(
        "the data of a tensor are kept in another file, which is missing, too short or outside of the model's folder",
        "copy the model with its data files, side by side",
    ),
    "ONNX-OP": Meaning("an operator is not supported", "replace it, or end the model before it"),
    "ONNX-NODE": Meaning("a supported operator is used in a way that is not", "see what is allowed in the message"),
    "ONNX-ATTRIBUTE": Meaning("an attribute is unknown, or of another type or length", "export the model again"),
    "ONNX-SHAPE": Meaning("operands do not fit each other", "export the model again"),
    "ONNX-TYPE": Meaning("numbers of a type that is not supported there", "convert the model to float32"),
    "ONNX-CONSTANT": Meaning("what must be constant depends on the input", "make it an initializer"),
    "ONNX-FOLD": Meaning("a node that reads constants only cannot be computed", "simplify the model before"),
    "ONNX-INPUT": Meaning("the shape of an input is not known", "give input_shape=(C, H, W)"),
    "ONNX-BATCH": Meaning(
        "the first dimension of a value must be the batch, of any size", "export with a dynamic batch, or a batch of 1"
    ),
    "ONNX-LAYOUT": Meaning("values cannot be put in the order that is needed", "quantize with one scale a tensor"),
    "ONNX-QUANT": Meaning("scales or zero points do not fit each other", "quantize the model again"),
    "ONNX-REALS": Meaning("an output of integers is given as reals (a remark)", "nothing: their scale is in the IR"),
    "ONNX-GROUPS": Meaning("a grouped convolution is written out as a full one (a remark)", "nothing"),
    "ONNX-SCALES": Meaning("scales do not lie as the file says (a warning)", "compare the results with the model's"),
    "ONNX-DEAD": Meaning("filters of vanishing scale become zeros (a remark)", "nothing"),
}

QUANTIZE_AGAIN = "quantize the float model again with quantizeml"

QUANTIZEML = {
    "QML-NAME": Meaning("QuantizeML has no operator of this name", QUANTIZE_AGAIN),
    "QML-FUNCTION": Meaning("the file lacks the function of an operator", "save the model with its functions"),
    "QML-BODY": Meaning("a function computes something else than its name says", QUANTIZE_AGAIN),
    "QML-ARGUMENT": Meaning("an argument of an operator is missing, or not what it must be", QUANTIZE_AGAIN),
    "QML-ATTRIBUTE": Meaning("an attribute of an operator is missing, unknown, or has an odd value", QUANTIZE_AGAIN),
    "QML-SHIFT": Meaning("a rescaling divides by a number that is no power of two", QUANTIZE_AGAIN),
    "QML-RANGE": Meaning("sums of a layer may not fit their 32 bits", "use fewer inputs, or smaller weights"),
    "QML-PAD": Meaning("no border rule of the hardware pads or crops like this", "pad evenly, or not at all"),
    "QML-SHAPE": Meaning("an operator gets or gives a tensor of another shape than it must", QUANTIZE_AGAIN),
    "QML-NODE": Meaning("an operator's arguments contradict each other", QUANTIZE_AGAIN),
    "QML-ENDS": Meaning("a model has one input and one output", "split the model"),
    "QML-FLOAT": Meaning(
        "a float operator that the host does not compute, or in front of quantized ones",
        "quantize it, or end the model before it",
    ),
    "QML-INPUT": Meaning("the model's input has no fixed shape, or an odd type", "export it with sizes"),
}

QUANTIZATION = {
    "CALIBRATE-RANDOM": Meaning(
        "the ranges of values were observed on random inputs (a warning)", "give typical inputs with --samples"
    ),
    "QUANT-LIBRARY": Meaning("the quantization API needs TensorFlow and Keras 3", "pip install 'cnn2snn-ir[keras]'"),
    "QUANT-BITS": Meaning("weights or activations cannot have so many bits", "take a number that is allowed"),
    "QUANT-ARGUMENT": Meaning("a layer has an argument that it must not have", "leave the argument out"),
    "QUANT-QUANTIZER": Meaning("a weight quantizer was expected", "give an instance of a quantizer class"),
    "QUANT-LAYER": Meaning("the model has no such layer, or it cannot be quantized", "take one that is named"),
    "QUANT-FLOAT": Meaning("a layer stays in float (a warning)", "use a class of layer that can be quantized"),
    "QUANT-INPUT": Meaning("the layer does not take sparse or ragged tensors", "make the tensor dense"),
    "QUANT-LOAD": Meaning("Keras cannot load the model", "save it with model.save(), as .h5 or .keras"),
}

TRANSFORMS = {
    "TRANSFORM-MODEL": Meaning("only Sequential and functional Keras models have layers to see", "give one of them"),
    "TRANSFORM-INPUT": Meaning("a Sequential model without an input shape", "begin it with keras.Input(shape)"),
    "TRANSFORM-COPY": Meaning(
        "a layer cannot be made anew from its configuration", "give it get_config and from_config"
    ),
    "TRANSFORM-ENDS": Meaning("a model has one input and one output", "split the model"),
    "TRANSFORM-RANK": Meaning("samples are vectors or images", "give the model such an input"),
    "TRANSFORM-CALL": Meaning("a layer is called once and gives one tensor", "use a layer of its own for each place"),
    "TRANSFORM-JOIN": Meaning(
        "branches can be joined by concatenating the channels of two only", "concatenate pairs, or use QuantizeML"
    ),
    "TRANSFORM-BRANCH": Meaning("Akida 1 runs one layer after the other", "remove the branch, or use QuantizeML"),
    "TRANSFORM-LAYOUT": Meaning("channels must be last", "build the model with channels_last"),
    "TRANSFORM-DILATION": Meaning("dilated convolutions are not supported", "use dilation_rate=1"),
    "TRANSFORM-GAMMA": Meaning(
        "a gamma that is zero or negative stands in the way of folding",
        "train with gamma_constraint=MinValueConstraint()",
    ),
    "TRANSFORM-AXIS": Meaning("a batch normalization must be over the channels", "use axis=-1"),
    "TRANSFORM-QUANTIZER": Meaning(
        "folding would change the integers of quantized weights", "fold first, or take a quantizer per axis"
    ),
    "TRANSFORM-IMAGE": Meaning("only models that take images can be reshaped", "give the model an image input"),
    "TRANSFORM-SIZE": Meaning("the sides of an image are positive", "give sizes of 1 or more"),
    "TRANSFORM-SHAPE": Meaning("a layer does not take an input of this shape", "choose another input size"),
    "TRANSFORM-WEIGHTS": Meaning(
        "weights do not fit the new input size", "end the model with global pooling instead of Flatten"
    ),
    "TRANSFORM-SEPARABLE": Meaning("only separable convolutions can be normalized", "leave out other layers"),
}

CALIBRATION = {
    "CALIBRATE-SAMPLES": Meaning("the model does not take these samples", "give numbers of the shape of its input"),
    "CALIBRATE-ARGUMENT": Meaning("an argument of a calibration cannot be", "give a number that is allowed"),
    "CALIBRATE-LAYER": Meaning("only a quantized layer of the model can be looked at", "select one of those named"),
    "CALIBRATE-FLOAT": Meaning("nothing in the model is quantized", "quantize it first"),
    "CALIBRATE-QUANTIZER": Meaning("rounding is learned between multiples of a step", "use a linear quantizer"),
}

COMPATIBILITY = {
    "COMPAT-LAYER": Meaning("Akida 1 does not have this layer", "use one of those named"),
    "COMPAT-EMPTY": Meaning("no layer has weights, so there is nothing to convert", "convert the whole network"),
    "COMPAT-FLOAT": Meaning("the model is quantized only in part", "quantize the layer, too"),
    "COMPAT-OWN-ACTIVATION": Meaning("a layer has an activation of its own", "use a ReLU layer behind it"),
    "COMPAT-WEIGHT-BITS": Meaning("weights have 2, 4 or 8 bits", "quantize the layer again"),
    "COMPAT-SEPARABLE-BITS": Meaning("both kernels of a separable layer have as many bits", "quantize it again"),
    "COMPAT-ACTIVATION-BITS": Meaning("activations have 1, 2 or 4 bits", "quantize the activation again"),
    "COMPAT-INPUT": Meaning("images of 1 or 3 channels are read by a convolution", "begin with a QuantizedConv2D"),
    "COMPAT-RESCALING": Meaning("only the input is rescaled, by a positive number", "put the Rescaling first"),
    "COMPAT-DENSE": Meaning("a dense layer reads vectors", "put a Flatten before it"),
    "COMPAT-ACTIVATION": Meaning("one activation stands between layers with weights", "add or remove an activation"),
    "COMPAT-POOL": Meaning("pooling follows a convolution directly", "move the pooling"),
    "COMPAT-POOL-PADDING": Meaning("pooling pads as its convolution does", "give both the same padding"),
    "COMPAT-BATCHNORM": Meaning(
        "the order of layers does not let a normalization be folded", "put it behind the neural layer and train again"
    ),
    "COMPAT-FLATTEN": Meaning("Flatten stands before a dense layer or at the end", "move it there"),
    "COMPAT-RESHAPE": Meaning("Reshape may move dimensions of 1 only", "use Flatten before a dense layer"),
    "COMPAT-HEAD": Meaning("what the host computes is last", "use ReLU between layers with weights"),
}

RUNNING = {
    "RUN-NAN": Meaning(
        "a float that the model computes is not a number", "look for huge weights, or NaN in the samples"
    ),
    "RUN-ENDS": Meaning("a program has no input or no output, so there is nothing to run", "convert the model again"),
    "RUN-INPUT-SHAPE": Meaning("samples have another shape than the model's input", "see `cnn2snn summary`"),
    "RUN-INPUT-TYPE": Meaning("samples hold values that the input type does not", "scale or cast them"),
    "RUN-INPUT-BATCH": Meaning("the inputs have different numbers of samples", "give as many to each input"),
    "RUN-INPUT-MISSING": Meaning("an input was not given", "give an array for each input, by name"),
    "RUN-NO-INPUT": Meaning("the model has no input, so there is nothing to run it on", "give it an input"),
    "RUN-BATCH": Meaning("a number of samples is none", "give an integer from 1"),
    "RUN-LABELS": Meaning("evaluate needs one label for each sample", "give as many labels as samples, integers"),
    "RUN-NO-LAYER": Meaning("the program has no layer of this name", "see `cnn2snn summary`"),
    "RUN-NO-NUMBA": Meaning("the numba backend does not work here", "install numba, or use the numpy backend"),
    "RUN-STREAMS": Meaning("as many streams must go on as began", "begin anew, or give as many samples"),
    "RUN-NO-SEMANTICS": Meaning("an op cannot be executed at this level", "lower the module to akida2 first"),
    "COMPARE-NOTHING": Meaning("there are no samples to compare on", "give at least one sample"),
    "FLOAT-LIBRARY": Meaning("what runs the float model is not installed here", "install the extra that is named"),
    "FLOAT-MODEL": Meaning("the float model cannot be used", "give a Keras or ONNX model with one input and no Lambda"),
    "FLOAT-RUN": Meaning("the float model does not run on these samples", "give the original of the quantized model"),
    "FLOAT-SCALES": Meaning("real numbers are known of models as imported only", "give the .h5 or .keras file"),
    "FLOAT-STREAMS": Meaning("models that remember are not compared with floats", "leave out --float"),
    "EXPLAIN-CODE": Meaning("there is no such code", "`cnn2snn explain` lists all"),
    "EXPLAIN-LAYER": Meaning("the model has no such layer", "take a name from the list"),
}

IR = {code: Meaning(sentence, BROKEN_IR) for code, sentence in CODES.items()} | {
    "IR-STATE": Meaning("a memory has one builtin.state and one builtin.store of its type", BROKEN_IR),
    "IR-LEVEL": Meaning("an op belongs to another level of the compiler", "run the passes in between first"),
    "IR-WEIGHTS-ELIDED": Meaning("the dump holds only hashes of the weights", "give them with --weights-file"),
    "IR-WEIGHTS-FILE": Meaning("the file of weights cannot be read", "dump again with --weights=sidecar"),
    "IR-WEIGHTS-HASH": Meaning("weights are not those that the dump names", "give the sidecar of this dump"),
}

TEXT = {
    code: Meaning(sentence, BROKEN_TEXT)
    for code, sentence in {
        "PARSE-SYNTAX": "the text does not follow the grammar",
        "PARSE-MODULE": "a text holds one module and nothing else",
        "PARSE-VERSION": "the text has a newer format than this tool knows",
        "PARSE-UNKNOWN-OP": "no op has this name",
        "PARSE-UNKNOWN-ATTRIBUTE": "the op has no such attribute",
        "PARSE-MISSING-ATTRIBUTE": "an attribute without default is missing",
        "PARSE-DUPLICATE": "something is given twice",
        "PARSE-UNDEFINED": "a value is used before it is defined",
        "PARSE-REDEFINED": "a value is defined twice",
        "PARSE-RESULTS": "the op has another number of results",
        "PARSE-SIGNATURE": "operands and their types differ in number",
        "PARSE-CONSTANTS": "the op takes another number of constants",
        "PARSE-DEPTH": "brackets are nested too deeply",
        "PARSE-NUMBER": "the number is too large",
        "PARSE-TENSOR": "the constant cannot be as it is written",
        "PARSE-TYPE": "there is no such type",
    }.items()
}

PROGRAMS = {
    code: Meaning(sentence, BROKEN_PROGRAM)
    for code, sentence in {
        "FBZ-MAGIC": "this is not a program of cnn2snn-ir",
        "FBZ-VERSION": "the program has another format version",
        "FBZ-TRUNCATED": "the file ends too early",
        "FBZ-TRAILING": "bytes follow the content",
        "FBZ-CHECKSUM": "the content is not the one that was written",
        "FBZ-DAMAGED": "the content cannot be decompressed",
        "FBZ-SIZE": "a size is beyond the limit, or not the one declared",
        "FBZ-IDENTIFIER": "the content is not a program",
        "FBZ-OFFSET": "an offset points out of the content",
        "FBZ-ALIGNMENT": "a number does not lie where it must",
        "FBZ-OVERLAP": "objects overlap",
        "FBZ-DEPTH": "tables are nested too deeply",
        "FBZ-OBJECTS": "there are too many objects",
        "FBZ-MISSING": "a required field is missing",
        "FBZ-KIND": "an enumeration has no such value",
        "FBZ-ROOT": "the outermost op is not a module",
        "FBZ-OP": "no op has this name",
        "FBZ-OPERAND": "a value is used before it is defined",
        "FBZ-COUNT": "an op has a wrong number of operands, results or regions",
        "FBZ-FIELD": "an attribute is unknown, missing or of another kind",
        "FBZ-NAME": "the name of a result is taken or not allowed",
        "FBZ-TYPE": "there is no such type or shape",
        "FBZ-TENSOR": "a constant contradicts its shape, or its values its type",
        "FBZ-TEXT": "a text is not valid Unicode",
        "FBZ-RANGE": "a number does not fit the file format",
    }.items()
}

PASSES = {
    "PIPELINE-SYNTAX": Meaning("the pipeline does not follow the grammar", "see docs/passes.md"),
    "PIPELINE-PASS": Meaning("no pass or pipeline has this name", "`cnn2snn-opt --list-passes` lists all"),
    "PIPELINE-OPTION": Meaning("the pass has no such option", "`cnn2snn-opt --list-passes` lists all"),
    "PIPELINE-VALUE": Meaning("the option does not take this value", "`cnn2snn-opt --list-passes` lists them"),
    "PIPELINE-OP": Meaning("pipelines nest in ops that hold others", "write pass or qnn.block(pass)"),
    "PIPELINE-ANCHOR": Meaning("the pass does not run on this op", "nest it as its documentation says"),
    "PIPELINE-DEPTH": Meaning("brackets are nested too deeply", "nest the pipeline less"),
    "PIPELINE-CYCLE": Meaning("a named pipeline contains itself", "break the cycle"),
    "PASS-DUPLICATE": Meaning("two distributions have a pass of one name", "uninstall one of them"),
    "PASS-LOAD": Meaning("a registered pass cannot be loaded", "repair or uninstall its distribution"),
    "PASS-CLAIM": Meaning("a pass changed the IR and said it did not", COMPILER_BUG),
    "PASS-ROUNDTRIP": Meaning("the IR does not survive printing and parsing", COMPILER_BUG),
    "PASS-VALIDATE": Meaning("results moved further than the contract of a pass allows", COMPILER_BUG),
    "OPT-PASS": Meaning("no pass has this name", "`cnn2snn-opt --list-passes` lists all"),
    "OPT-OUTPUT": Meaning("a program file holds one module", "leave out --split-input-file"),
    "OPT-SIDECAR": Meaning("a sidecar belongs to one module, and needs a name", "give -o or --weights-file"),
}

MEANINGS: dict[str, dict[str, Meaning]] = {
    "Checks of a conversion": CHECKS,
    "Files": FILES,
    "Models": MODELS,
    "ONNX files": ONNX,
    "QuantizeML's ONNX": QUANTIZEML,
    "Quantization with Keras": QUANTIZATION,
    "Transforms of Keras models": TRANSFORMS,
    "Calibration": CALIBRATION,
    "Compatibility of legacy models": COMPATIBILITY,
    "Running": RUNNING,
    "The IR": IR,
    "IR text": TEXT,
    "Program files": PROGRAMS,
    "Passes": PASSES,
}
"""Title ▶ the codes of a family."""

EXAMPLES = {
    "AK2-MODEL-01": "Model(inputs=x, outputs=[classes, boxes])",
    "AK2-MODEL-02": "Input((49, 10)): samples of 2 dimensions",
    "AK2-MODEL-03": "Dequantizer, Softmax, InputQuantizer, QuantizedDense",
    "AK2-CONV-01": "QuantizedConv2D(16, (3, 5))",
    "AK2-CONV-02": "QuantizedConv2D(16, 3, strides=(1, 2))",
    "AK2-CONV-03": "QuantizedConv2D(16, 3, dilation_rate=2)",
    "AK2-CONV-04": "QuantizedConv2D with weight_quantizer.bitwidth 2",
    "AK2-CONV-05": "QuantizedSeparableConv2D(16, 3)",
    "AK2-BIAS-01": "a bias of 12345, which is no number of 8 bits times a power of two",
    "AK2-RELU-01": "a ReLU bounded at 1025, which is no number of 8 bits times a power of two",
    "AK2-TCONV-01": "QuantizedConv2DTranspose(16, 3, strides=3)",
    "AK2-DENSE-01": "QuantizedDense(10) behind a convolution, without Flatten",
    "AK2-CONCAT-01": "QuantizedConcatenate(axis=1)",
    "AK2-CONCAT-02": "QuantizedConcatenate()([a, b, c])",
    "AK2-INPUT-03": "a uint8 image read by QuantizedDepthwiseConv2D",
    "AK2-PAD-01": "QuantizedConv2D(padding_value=0.5) behind another convolution",
    "AK2-POOL-01": "QuantizedConv2D(padding='same'), QuantizedMaxPool2D(padding='valid')",
    "AK2-POOL-02": "QuantizedMaxPool2D((1, 2))",
    "AK2-POOL-03": "QuantizedConv2D, QuantizedMaxPool2D, no QuantizedReLU",
    "AK2-POOL-04": "QuantizedMaxPool2D, QuantizedReLU, QuantizedGlobalAveragePooling2D",
    "AK2-POOL-05": "QuantizedDepthwiseConv2D, QuantizedGlobalAveragePooling2D",
    "AK2-RESHAPE-01": "QuantizedReshape((7, 7, 16)) in front of a convolution",
    "AK2-LEFT-01": "QuantizedReLU behind QuantizedAdd",
    "AK2-MAP-01": "QuantizedConv2D(16, 9)",
    "AK2-MAP-02": "QuantizedConv2D(16, 3, padding='valid')",
    "AK2-MAP-03": "QuantizedConv2D(4096, 3)",
    "AK2-MAP-04": "QuantizedFlatten of 7x7x64, QuantizedDense(10)",
}
"""Rule ▶ what breaks it, in one line."""
