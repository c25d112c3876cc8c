/* The words of learning.html. */
export default {
  "learning title": { en: "How the filters took shape", ko: "필터가 만들어지는 과정" },
  "learning lead": {
    en: "One training run, recorded: {images} images, {epochs} times over. It begins with random weights. Nobody tells a filter what to look for.",
    ko: "훈련 한 번을 처음부터 끝까지 기록했습니다. 이미지 {images}장을 {epochs}번 반복해서 보았습니다. 가중치는 무작위 값에서 시작하고, 필터에 무엇을 찾으라고 알려 준 적은 없습니다.",
  },

  "filters title": { en: "The 32 filters of the first layer", ko: "첫 번째 층의 필터 32개" },
  filter: { en: "filter {number}", ko: "{number}번 필터" },
  "filter weights": { en: "filter {number}, weights row by row: {weights}", ko: "{number}번 필터, 행 순서로 가중치: {weights}" },
  "filters at first": {
    en: "Random weights, none larger than {largest}. The colours mean the same at every moment, so these are pale.",
    ko: "무작위 가중치이고 최대 절댓값은 {largest}입니다. 색의 기준이 모든 시점에서 같으므로 아직 옅습니다.",
  },
  "filters now": {
    en: "The largest weight, without its sign, was {first} at first; now it is {largest}. Filter {most} has changed most.",
    ko: "가중치의 최대 절댓값은 처음에 {first}, 지금은 {largest}입니다. 가장 많이 바뀐 것은 {most}번 필터입니다.",
  },
  "path of": { en: "Filter {number} through the run", ko: "{number}번 필터의 변화" },

  accuracy: { en: "Accuracy", ko: "정확도" },
  loss: { en: "Loss, on a logarithmic scale", ko: "손실(로그 눈금)" },
  training: { en: "training", ko: "훈련" },
  validation: { en: "validation", ko: "검증" },
  "first epoch": { en: "steps of epoch 1", ko: "첫 에포크의 스텝" },
  steps: { en: "steps", ko: "스텝" },
  epochs: { en: "epochs", ko: "에포크" },
  "accuracy chart": {
    en: "Accuracy. {moment}: training {training}, validation {validation}",
    ko: "정확도. {moment}: 훈련 {training}, 검증 {validation}",
  },
  "loss chart": {
    en: "Loss. {moment}: training {training}, validation {validation}",
    ko: "손실. {moment}: 훈련 {training}, 검증 {validation}",
  },
  terms: {
    en: "The loss tells how wrong the answers are, and how unsure. An epoch passes once through all training images; from the validation images, the network never learns.",
    ko: "손실은 예측이 얼마나 틀렸고 얼마나 불확실한지를 나타냅니다. 에포크는 훈련 이미지를 모두 한 번 보는 것이고, 검증 이미지로는 학습하지 않습니다.",
  },
  "as a table": { en: "All numbers as a table", ko: "모든 값을 표로 보기" },
  "column moment": { en: "after", ko: "시점" },
  "column training accuracy": { en: "training accuracy", ko: "훈련 정확도" },
  "column validation accuracy": { en: "validation accuracy", ko: "검증 정확도" },
  "column training loss": { en: "training loss", ko: "훈련 손실" },
  "column validation loss": { en: "validation loss", ko: "검증 손실" },

  "drawings title": { en: "What it says of ten drawings", ko: "그림 10장에 대한 예측" },
  "drawings right": { en: "{right} of {count} right", ko: "{count}장 중 {right}장 정답" },
  "is right": { en: "right", ko: "맞음" },
  "is wrong": { en: "true: {name}", ko: "정답: {name}" },
  "drawing of": { en: "drawing: {name}", ko: "그림: {name}" },

  transport: { en: "Play", ko: "재생" },
  play: { en: "Play", ko: "재생" },
  pause: { en: "Pause", ko: "멈춤" },
  back: { en: "Back", ko: "이전 시점" },
  on: { en: "On", ko: "다음 시점" },
  moment: { en: "Moment of the run", ko: "훈련 시점" },
  "moment start": { en: "Before the first step", ko: "훈련 전" },
  "moment step": { en: "After {step} steps", ko: "{step}스텝 후" },
  "moment epoch": { en: "After epoch {epoch}", ko: "{epoch}번째 에포크 후" },

  "reading start": {
    en: "Before the first step: random weights get {validation} of the validation images right; blind guessing gets 10%.",
    ko: "훈련 전: 무작위 가중치로는 검증 이미지의 {validation}를 맞힙니다. 아무렇게나 고르면 10%입니다.",
  },
  "reading step": {
    en: "After {step} of the {steps} steps of the first epoch: {validation} of the validation images are right.",
    ko: "첫 에포크의 {steps}스텝 중 {step}스텝 후: 검증 이미지의 {validation}를 맞힙니다.",
  },
  "reading epoch": {
    en: "After epoch {epoch}: {training} of the training images and {validation} of the validation images are right.",
    ko: "{epoch}번째 에포크 후: 훈련 이미지의 {training}, 검증 이미지의 {validation}를 맞힙니다.",
  },
  "reading best": {
    en: "The validation loss is at its lowest, {validationNow}: early stopping keeps this network.",
    ko: "검증 손실이 가장 낮습니다({validationNow}). 조기 종료를 쓰면 이때의 가중치가 남습니다.",
  },
  "reading overfit": {
    en: "Since epoch {best}, the training loss has fallen from {trainingThen} to {trainingNow}, but the validation loss has risen from {validationThen} to {validationNow}: overfitting.",
    ko: "{best}번째 에포크 이후 훈련 손실은 줄었지만({trainingThen} → {trainingNow}) 검증 손실은 늘었습니다({validationThen} → {validationNow}). 과대적합입니다.",
  },
  "reading beyond": {
    en: "The validation loss, {validationNow}, is above the {validationThen} of epoch {best}.",
    ko: "검증 손실({validationNow})이 {best}번째 에포크({validationThen})보다 큽니다.",
  },
  origin: {
    en: "The tutorial’s own recipe and its seed, {seed}, with Keras {keras}. Both curves are measured at the same moment and without dropout, on {count} images each. The drawings are ours. To record it anew: {command}",
    ko: "튜토리얼의 레시피와 시드({seed})를 그대로 쓰고 케라스 {keras}에서 훈련했습니다. 두 곡선은 같은 시점에 드롭아웃 없이 이미지 {count}장씩으로 측정했습니다. 그림은 직접 그렸습니다. 다시 기록하려면: {command}",
  },
  "no record": { en: "The recorded run could not be loaded. Reload the page.", ko: "기록을 불러오지 못했습니다. 페이지를 새로 고쳐 주세요." },

  "class 0": { en: "T-shirt/top", ko: "티셔츠" },
  "class 1": { en: "Trouser", ko: "바지" },
  "class 2": { en: "Pullover", ko: "스웨터" },
  "class 3": { en: "Dress", ko: "드레스" },
  "class 4": { en: "Coat", ko: "코트" },
  "class 5": { en: "Sandal", ko: "샌달" },
  "class 6": { en: "Shirt", ko: "셔츠" },
  "class 7": { en: "Sneaker", ko: "스니커즈" },
  "class 8": { en: "Bag", ko: "가방" },
  "class 9": { en: "Ankle boot", ko: "앵클 부츠" },
};
