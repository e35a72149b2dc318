// The parts of three.js that the viewer draws with; build.sh makes one file of them.
export {
  BufferAttribute, BufferGeometry, Color, DirectionalLight, DoubleSide, Fog, Group,
  HemisphereLight, LineBasicMaterial, LineSegments, Mesh, MeshBasicMaterial, MeshStandardMaterial,
  PerspectiveCamera, PlaneGeometry, Quaternion, RingGeometry, Scene, ShadowMaterial, SkinnedMesh, Skeleton, Bone,
  SRGBColorSpace, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
